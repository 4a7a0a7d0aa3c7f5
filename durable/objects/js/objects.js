// The Durable Object classes. They hold the platform's side of an object; its state is on the Rust side.
import { DurableObject } from "cloudflare:workers";
import { HealthObject, LedgerObject, RegistryObject } from "./index.js";
import { enter, generation, outlast } from "./instance.js";

/** An object whose Rust side is made anew when the wasm instance that held it is gone. */
class Shell extends DurableObject {
  #make;
  #inner;
  #generation;
  #alarm = null;

  constructor(ctx, env, make) {
    super(ctx, env);
    this.#make = make;
    ctx.blockConcurrencyWhile(async () => {
      this.#alarm = await ctx.storage.getAlarm();
    });
  }

  #live() {
    if (this.#inner === undefined || this.#generation !== generation()) {
      this.#inner = this.#make(this.ctx, this.env, this.#alarm ?? undefined);
      this.#generation = generation();
      // From now on the Rust side knows better.
      this.#alarm = null;
    }
    return this.#inner;
  }

  /** Carries out what the text asks, and answers in text. */
  call(text) {
    return enter(() => this.#live().call(text));
  }

  async alarm() {
    await outlast(() => this.#live().alarm());
  }
}

/**
 * Calls a provider from where it is. The worker sends it the call as it is to leave: it adds nothing, keeps nothing and
 * looks at nothing, so the bytes of both bodies pass natively, and whoever leaves ends the call.
 */
export class Egress extends DurableObject {
  fetch(request) {
    // The platform does not hand a request's own signal on.
    const call = new AbortController();
    request.signal.addEventListener("abort", () => call.abort(), { once: true });
    return fetch(request, { redirect: "manual", signal: call.signal });
  }
}

export class Ledger extends Shell {
  constructor(ctx, env) {
    super(ctx, env, (ctx, env, alarm) => new LedgerObject(ctx.storage, env, alarm));
  }
}

export class Health extends Shell {
  constructor(ctx, env) {
    super(ctx, env, (ctx, env, alarm) => new HealthObject(ctx.storage, env, ctx, alarm));
  }
}

export class Registry extends Shell {
  constructor(ctx, env) {
    super(ctx, env, (ctx, env, alarm) => new RegistryObject(ctx.storage, env, alarm));
  }
}
