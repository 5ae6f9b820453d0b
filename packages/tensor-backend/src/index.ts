export {
  loadTensorBackend,
  type Rank4,
  type Tensor,
  type Tensor4D,
  type TensorBackend,
  type Tensors,
  tensorBackendName,
  type Variable,
} from './load-tensor-backend.js'
