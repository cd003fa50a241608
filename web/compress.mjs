// Beside each built text a compressed copy, which the node sends to browsers that take it. Run by `npm run build`.

import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { constants, gzipSync } from "node:zlib";

const out = new URL("../streamer/web/dist", import.meta.url).pathname;

for (const name of readdirSync(out, { recursive: true })) {
  if (!/\.(js|css|html|svg)$/.test(name)) continue;
  const file = join(out, name);
  writeFileSync(`${file}.gz`, gzipSync(readFileSync(file), { level: constants.Z_BEST_COMPRESSION }));
}
