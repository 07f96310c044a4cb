// Prints results of the pure functions of the farm's page, and its texts, as JSON. The first argument is the page's folder.

const at = name => new URL(name, `file://${process.argv[2]}/`);
const {texts: en} = await import(at("texts.mjs"));
const {texts: de} = await import(at("texts_de.mjs"));
const {countsOf, eventReader, fieldsOf, kindOf, moveTarget, printName} = await import(at("kinds.mjs"));

const heard = [];
const read = eventReader((event, data) => heard.push([event, data]));
for (const piece of ["event: fa", "rm\ndata: {}\n", "\n: beat\n\ndata: a\r\ndata: b\r\n\r\nda"]) read(piece);

const printers = [
  ["Printing", {}],
  ["Paused", {}],
  ["Operational", {ready: true}],
  ["Operational", {}],
  ["Operational", {bed_clear: true}],
  ["Operational", {bed_clear: true, on_hold: true}],
  ["Error", {}],
  ["Away", {away: true}],
];
const row = [{id: "a"}, {id: "b"}, {id: "c"}];
const moves = [[0, 3], [2, 0], [1, 1], [1, 2], [9, 0]];
const job = {id: "j", copies: 4, counts: {claimed: 1, printing: 1, offered: 1, done: 1}};
const forms = [{copies: "3", nozzle_mm: "0,4", material: " PLA ", notes: ""}, {copies: "2.5"}, {nozzle_mm: "x"}];

console.log(JSON.stringify({
  en,
  de,
  heard,
  kinds: printers.map(([state, more]) => kindOf({state, ...more})),
  moved: moves.map(([from, to]) => String(moveTarget(row, row[from]?.id, to))),
  printed: [{job: "j", file: "77de6969ecd8-x.gcode"}, {job: "", file: "77de6969ecd8-x.gcode"}].map(each => printName(each, [{...job, name: "cube"}])),
  counts: countsOf(job, [{job: "j"}]),
  fields: forms.map(form => fieldsOf(form, text => Number(text.replace(",", ".")))),
}));
