# Every role on CPU. `docker run IMAGE start evaluator`; configuration by environment, see README.
FROM node:22-bookworm-slim AS build
WORKDIR /app
COPY package.json package-lock.json .npmrc turbo.json tsconfig*.json ./
COPY packages packages
COPY apps apps
COPY prisma prisma
COPY scripts scripts
ENV PRISMA_SCHEMA_ENGINE_BINARY=/usr/local/bin/node ONNXRUNTIME_NODE_INSTALL=skip TURBO_TELEMETRY_DISABLED=1
RUN npm ci --no-progress && npm run build && npm prune --omit=dev --no-progress

FROM node:22-bookworm-slim
WORKDIR /app
ENV NODE_ENV=production ESPALIER_HOME=/var/lib/espalier
COPY --from=build /app /app
COPY models models
RUN mkdir -p /var/lib/espalier && chown node /var/lib/espalier
USER node
VOLUME /var/lib/espalier
ENTRYPOINT ["node", "apps/cli/bin/espalier.js"]
CMD ["up"]
