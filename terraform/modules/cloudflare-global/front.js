// The one name in front of the regions: passes each request on, whole, to the region that it asks for.
//
// Knows regions and their addresses; keys, limits and residency are the regions' own business. The address of a region
// comes from the deployment, never from the request.

const HEADER = "x-gateway-region";

function refusal(status, code, message) {
  const error = { message, type: "invalid_request_error", param: HEADER, code };
  return Response.json({ error }, { status, headers: { "cache-control": "no-store" } });
}

export default {
  fetch(request, env) {
    const { default: standard, forward_pinned: forwardsPinned, regions } = env.REGIONS;
    const asked = request.headers.get(HEADER) ?? standard;
    if (!Object.hasOwn(regions, asked)) {
      const known = Object.keys(regions).join(", ");
      return refusal(400, "unknown_region", `There is no such region; there are ${known}.`);
    }
    const { hostname, pinned } = regions[asked];
    if (pinned && !forwardsPinned) {
      const message = `The region ${asked} takes requests at https://${hostname} only, so that they enter there.`;
      return refusal(421, "pinned_region", message);
    }
    const url = new URL(request.url);
    url.hostname = hostname;
    return fetch(new Request(url, request), { redirect: "manual" });
  },
};
