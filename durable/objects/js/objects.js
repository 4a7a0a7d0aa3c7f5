// The Durable Object classes. They hold the platform's side of an object; its state is on the Rust side.
import { DurableObject } from "cloudflare:workers";
import { HealthObject, LedgerObject, RegistryObject } from "./index.js";
import { enter, generation, outlast } from "./instance.js";
import { under } from "./storage.js";

/** The Rust side; a name that nobody can call from outside. */
const LIVE = Symbol("live");

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

  [LIVE]() {
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
    return enter(() => this[LIVE]().call(text));
  }

  async alarm() {
    await outlast(() => this[LIVE]().alarm());
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

/** How often the parent is asked for one call. */
const ASKS_MAX = 8;

/** A ledger, which may have to ask its parent before it can answer. */
export class Ledger extends Shell {
  #climb;
  #hasParent = false;

  constructor(ctx, env) {
    super(ctx, env, (ctx, env, alarm) => new LedgerObject(ctx.storage, env, alarm));
  }

  call(text) {
    const answer = enter(() => this[LIVE]().call(text, false));
    if (answer === undefined) return this.#askAndCall(text);
    if (this.#hasParent) this.#climbBeside();
    return answer;
  }

  async alarm() {
    this.#climbBeside();
    await super.alarm();
  }

  async #askAndCall(text) {
    for (let asked = 1; ; asked += 1) {
      const hasHeard = await this.#climbNext();
      const isAlone = !hasHeard || asked === ASKS_MAX;
      const answer = enter(() => this[LIVE]().call(text, isAlone));
      if (answer !== undefined) {
        this.#climbBeside();
        return answer;
      }
      if (isAlone) throw new Error("the parent ledger cannot be reached");
    }
  }

  /** Asks the parent after whatever is under way, together with all who wait by then; answers whether it has answered. */
  async #climbNext() {
    await this.#climb;
    this.#climb ??= this.#ask().finally(() => (this.#climb = undefined));
    return this.#climb;
  }

  /** Asks the parent if that is due and nobody does. */
  #climbBeside() {
    if (this.#climb === undefined && enter(() => this[LIVE]().climbs())) this.#climbNext();
  }

  async #ask() {
    try {
      const asked = enter(() => this[LIVE]().ask());
      if (asked === undefined) return true;
      this.#hasParent = true;
      const [name, jurisdiction, text] = asked;
      const isOwn = this.env.SLUICE_MACHINES === "own";
      const all = this.env.LEDGER;
      const namespace = jurisdiction === "" ? all : under(all, jurisdiction, isOwn);
      const answer = await namespace.get(namespace.idFromName(name)).call(text);
      enter(() => this[LIVE]().hear(name, text, answer));
      return true;
    } catch (error) {
      console.error(`ledger: the parent was not reached: ${error?.message ?? error}`);
      return false;
    }
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
