// Connects the farm's page to a server that sends one event and keeps each stream open, connects once more, and prints how many streams
// were opened in 2 s, and the state of the connection. The first argument is the folder with all modules of the page.

const storage = new Map([["nozzled.key", "k".repeat(20)]]);
Object.assign(globalThis, {
  window: globalThis,
  document: {hidden: false, addEventListener() {}, baseURI: "http://farm/"},
  localStorage: {getItem: name => storage.get(name) ?? null, setItem: (name, value) => storage.set(name, value), removeItem: name => storage.delete(name)},
  addEventListener() {},
});

let streams = 0;
globalThis.fetch = async (path, {signal}) => {
  if (path !== "api/farm/events") return Response.json({who: "admin", scope: "admin", nats: {}});
  streams += 1;
  return new Response(new ReadableStream({
    start(controller) {
      controller.enqueue(new TextEncoder().encode('event: farm\ndata: {"trouble": ""}\n\n'));
      signal.addEventListener("abort", () => controller.error(signal.reason));
    },
  }));
};

const {connect, start} = await import(new URL("link.mjs", `file://${process.argv[2]}/`));
const {net} = await import(new URL("store.mjs", `file://${process.argv[2]}/`));
const pause = ms => new Promise(resolve => setTimeout(resolve, ms));

start();
while (net.value.state !== "live") await pause(10);
connect();
await pause(2000);
console.log(JSON.stringify({streams, state: net.value.state}));
process.exit();
