// The gateway's entry with a switch: a request that says so is served as if there were no key for receipts.
// So both ways are measured in one process, and both pay for the switch.
import gateway, { Egress, Health, Ledger, Registry } from "./shim.js";

export { Egress, Health, Ledger, Registry };

let whole;
let bare;

/** The environment, and the same without the key. */
function both(env) {
  if (whole !== env) {
    whole = env;
    bare = { ...env, SLUICE_RECEIPT_KEY: "" };
  }
  return { whole, bare };
}

export default {
  fetch(request, env, ctx) {
    const isOff = request.headers.get("x-bench-receipts") === "off";
    const { whole, bare } = both(env);
    return gateway.fetch(request, isOff ? bare : whole, ctx);
  },
};
