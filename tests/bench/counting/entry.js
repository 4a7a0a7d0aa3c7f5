// The gateway's entry with counters around its ledger, for the run that counts what a request asks of it.
// Never in a run that is timed.
import gateway, { Egress, Health, Ledger as LedgerOfGateway, Registry } from "./shim.js";
import { counts } from "./counts.js";

/** A command's name, whichever way it is tagged. */
const nameOf = (command) =>
  typeof command === "string" ? command : (command.command ?? Object.keys(command)[0]);

export class Ledger extends LedgerOfGateway {
  async call(text) {
    counts.calls += 1;
    counts.bytesIn += text.length;
    for (const command of JSON.parse(text).commands) {
      const name = nameOf(command);
      counts.commands[name] = (counts.commands[name] ?? 0) + 1;
    }
    const reply = await super.call(text);
    counts.bytesOut += reply.length;
    return reply;
  }

  alarm() {
    counts.alarms += 1;
    return super.alarm();
  }
}

export { Egress, Health, Registry };

export default {
  fetch(request, env, ctx) {
    if (new URL(request.url).pathname === "/counts") return Response.json(counts);
    return gateway.fetch(request, env, ctx);
  },
};
