export default { fetch: () => new Response("the worker of a test") };
