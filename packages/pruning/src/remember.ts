/** The same function, which creates the value of each key once; for keys of which there are few. */
export function remember<K, V>(create: (key: K) => V): (key: K) => V {
  const known = new Map<K, V>()
  return (key) => {
    const value = known.get(key) ?? create(key)
    known.set(key, value)
    return value
  }
}
