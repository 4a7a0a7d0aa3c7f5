// Stands before the objects' `storage.js`, which is `storage_real.js` in this run, and counts.
import { counts } from "./counts.js";
import * as real from "./storage_real.js";

export * from "./storage_real.js";

export function select(...all) {
  counts.reads += 1;
  return real.select(...all);
}

export function write(storage, statements, counted, parameters) {
  counts.commits += 1;
  counts.rowsWritten += parameters.length / 2;
  return real.write(storage, statements, counted, parameters);
}
