// The worker's entry: events in, the wasm instance behind.
import { handle } from "./index.js";
import { outlast } from "./instance.js";

export { Egress, Health, Ledger, Registry } from "./objects.js";

const FAILURE = JSON.stringify({
  error: {
    message: "The gateway failed. The request may or may not have been carried out.",
    type: "server_error",
    param: null,
    code: "internal_error",
  },
});

/** Serves one request to its end, whether or not anybody waits for the answer. */
async function serve(request, env, ctx, respond) {
  try {
    await outlast(() => handle(request, env, ctx, respond));
  } catch (error) {
    console.error(`the gateway failed: ${error?.stack ?? error}`);
    respond(
      new Response(FAILURE, { status: 500, headers: { "content-type": "application/json" } }),
    );
  }
}

export default {
  fetch(request, env, ctx) {
    return new Promise((respond) => ctx.waitUntil(serve(request, env, ctx, respond)));
  },
};
