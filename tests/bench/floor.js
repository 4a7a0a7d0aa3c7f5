// The floor: the least that a gateway can do. Passes the request on, and the answer back, as they are.
export default {
  fetch(request, env) {
    return fetch(env.UPSTREAM + new URL(request.url).pathname, request);
  },
};
