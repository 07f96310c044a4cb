// What the JavaScript client does with a running daemon: a whole print, files, printer, socket, errors. The same in
// Node and in a browser; resolves to what was seen, and leaves judging to the test that runs it.

const sleep = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** @param {{OctoPrintClient: any, url: string, key: string, transport: string}} given */
export async function scenario({ OctoPrintClient, url, key, transport }) {
  const client = new OctoPrintClient(url, key);
  const until = async (condition) => {
    while (!(await condition())) await sleep(20);
  };
  const state = (wanted) => until(async () => (await client.job.get()).state === wanted);
  const heard = [];
  const seen = { heard };
  client.socket.onMessage("*", ({ event, data }) => heard.push(event === "event" ? data.type : event));
  const progress = [];

  await state("Operational");
  await client.socket.connect({ transport });
  seen.version = (await client.version()).text;
  const moves = Array.from({ length: 1000 }, (_, n) => `G1 X${(n % 2) * 100} F6000\n`).join("");
  const uploaded = await client.files.upload(
    "local",
    new Blob([moves]),
    { filename: "Würfel №2.gcode", path: "parts", select: true },
    { onProgress: (told) => progress.push(told) },
  );
  const path = uploaded.files.local.path;
  seen.progress = progress.at(-1) ?? null;
  seen.path = path;
  seen.entry = (await client.files.get("local", path)).size === moves.length;
  seen.downloaded = (await (await client.files.download("local", path)).text()) === moves;
  seen.picture = await client.files.thumbnail(path, "32x32").catch((error) => error.status);
  seen.start = await client.job.start();
  await state("Printing");
  await client.job.pause();
  await state("Paused");
  await client.job.resume();
  await state("Printing");
  await client.job.togglePause();
  await state("Paused");
  await client.job.restart();
  await state("Printing");
  await client.job.cancel();
  await state("Operational");
  await client.printer.setToolTargetTemperatures({ tool0: 50 });
  await client.printer.jog({ x: 1, z: -0.5 });
  await client.printer.home(["x"]);
  await client.control.sendGcode(["M117 one", "M117 two"]);
  const full = await client.printer.getFullState({ exclude: ["sd"], history: true, limit: 1 });
  seen.full = [Object.keys(full).sort(), full.temperature.history.length];
  await client.files.copy("local", path, "copy.gcode");
  await client.files.createFolder("local", "empty");
  seen.files = (await client.files.list(true)).files.map((entry) => entry.path).sort();
  await client.files.delete("local", "parts");
  seen.errors = [];
  const wrong = new OctoPrintClient(url, "wrong");
  for (const attempt of [
    () => client.job.pause(),
    () => client.files.delete("local", "parts"),
    () => wrong.job.get(),
    () => client.job.get({ signal: AbortSignal.abort() }),
  ]) {
    await attempt().catch((error) => seen.errors.push([error.name, error.status, error.text.length > 0]));
  }
  await until(() => heard.includes("PrintCancelled"));
  client.socket.disconnect();
  const before = heard.length;
  await client.connection.disconnect();
  await until(async () => (await client.connection.getSettings()).current.state === "Closed");
  await sleep(50);
  seen.quiet = heard.length === before;
  return seen;
}
