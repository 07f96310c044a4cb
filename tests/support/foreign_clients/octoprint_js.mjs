// What OctoPrint's own JavaScript client does with a daemon, in a page that has loaded it. `OctoPrint` is its global.

export async function scenario(key, long, short) {
  const done = (promise) => new Promise((resolve, reject) => promise.then(resolve, (...why) => reject(new Error(JSON.stringify(why)))));
  const sleep = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));
  const state = async (wanted) => {
    while ((await done(OctoPrint.job.get())).state !== wanted) await sleep(20);
  };
  const heard = [];
  const seen = { heard };
  OctoPrint.options.baseurl = `${location.origin}/`;
  OctoPrint.options.apikey = key;
  for (const kind of ["connected", "history", "current", "reauthRequired"]) {
    OctoPrint.socket.onMessage(kind, () => heard.push(kind));
  }
  OctoPrint.socket.onMessage("event", ({ data }) => heard.push(data.type));
  await state("Operational");
  const user = await done(OctoPrint.browser.passiveLogin());
  await new Promise((resolve) => {
    OctoPrint.socket.onMessage("connected", resolve);
    OctoPrint.socket.connect();
  });
  OctoPrint.socket.sendAuth(user.name, user.session);
  for (const [name, text] of [["long.gcode", long], ["short.gcode", short]]) {
    await done(OctoPrint.files.upload("local", new File([text], name)));
  }
  await done(OctoPrint.files.select("local", "long.gcode"));
  await done(OctoPrint.job.start());
  await state("Printing");
  await done(OctoPrint.job.pause());
  await state("Paused");
  await done(OctoPrint.job.resume());
  await state("Printing");
  await done(OctoPrint.job.togglePause());
  await state("Paused");
  await done(OctoPrint.job.restart());
  await state("Printing");
  await done(OctoPrint.job.cancel());
  await state("Operational");
  await done(OctoPrint.printer.setToolTargetTemperatures({ tool0: 50 }));
  await done(OctoPrint.printer.setBedTargetTemperature(40));
  await done(OctoPrint.printer.home(["x"]));
  await done(OctoPrint.printer.jog({ x: 1 }));
  await done(OctoPrint.control.sendGcode("M117 hello"));
  seen.ready = (await done(OctoPrint.printer.getFullState())).state.flags.ready;
  await done(OctoPrint.files.createFolder("local", "parts"));
  await done(OctoPrint.files.copy("local", "short.gcode", "parts"));
  seen.files = (await done(OctoPrint.files.list(true))).files.map((entry) => entry.path).sort();
  await done(OctoPrint.files.delete("local", "parts"));
  seen.settings = Object.keys(await done(OctoPrint.settings.get())).includes("plugins");
  await done(OctoPrint.files.select("local", "short.gcode", true));
  await state("Operational");
  seen.completion = (await done(OctoPrint.job.get())).progress.completion;
  seen.options = (await done(OctoPrint.connection.getSettings())).options.ports;
  while (!heard.includes("PrintDone")) await sleep(20);
  OctoPrint.socket.disconnect();
  await done(OctoPrint.connection.disconnect());
  return seen;
}
