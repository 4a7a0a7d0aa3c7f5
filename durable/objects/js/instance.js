// The wasm instance, which is replaced when it has died of a panic or a trap.
import { __wbg_reset_state, start } from "./index.js";
import config from "./config.js";

/** What a dead instance says to whoever calls it; nothing has been done then. */
const DEAD = "Module terminated";

let current = 0;
let started = -1;
const waiting = new Set();

/** Counts the instances: what belongs to an earlier one is gone. */
export const generation = () => current;

/** Called when the instance dies, by itself as long as it can speak. */
export function died() {
  current += 1;
  for (const fail of waiting) fail();
  waiting.clear();
}

/** Makes sure that a live instance is there and knows the configuration. */
function ensure() {
  if (started === current) return;
  if (started >= 0) __wbg_reset_state();
  started = current;
  start(config);
}

/** Calls into the instance. */
export function enter(work) {
  ensure();
  const entered = current;
  try {
    return work();
  } catch (error) {
    const isDead = error?.message === DEAD;
    const isTrap = error instanceof WebAssembly.RuntimeError || error instanceof RangeError;
    if ((isDead || isTrap) && entered === current) died();
    if (!isDead) throw error;
    // It had died before without a word.
    ensure();
    return work();
  }
}

/** Calls into the instance and waits, but not for a dead one. */
export function outlast(work) {
  // Not by `new Promise`, whose optimised form forgets whose it is; any request may be the one to find it dead.
  const death = Promise.withResolvers();
  const fail = () => death.reject(new Error("the instance died"));
  waiting.add(fail);
  return Promise.race([enter(work), death.promise]).finally(() => waiting.delete(fail));
}
