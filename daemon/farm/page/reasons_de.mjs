/** Messages of the farm's server in German, as in a printer's `reasons_de.mjs`. @type {[string, string][]} */
export const reasons = [
  ["no printer has joined the farm", "Kein Drucker gehört zur Farm"],
  ["on hold since {when} by {who}", "Zurückgehalten seit {when} von {who}"],
  ["on hold by {who}", "Zurückgehalten von {who}"],
  ["the site {site} has it", "Der Standort {site} hat ihn"],
  ["no printer is in group {group}", "Kein Drucker ist in der Gruppe {group}"],
  ["1 copy is before it", "1 Exemplar ist davor"],
  ["{n} copies are before it", "{n} Exemplare sind davor"],
  ["it is next: {who} is about to take it", "Er ist der nächste: {who} nimmt ihn gleich"],
  ["no printer that fits is ready: {who}", "Kein passender Drucker ist bereit: {who}"],
  ["no printer has {material} loaded: {who}", "Kein Drucker hat {material} geladen: {who}"],
  ["no printer is large enough: {who}", "Kein Drucker ist groß genug: {who}"],
  ["no printer gets hot enough: {who}", "Kein Drucker wird heiß genug: {who}"],
  ["jobs {a} and {b} differ in priority: change that first", "Die Aufträge {a} und {b} haben verschiedene Prioritäten: zuerst diese ändern"],
  ["the file is empty", "Die Datei ist leer"],
  ["nobody has said that the bed is clear", "Niemand hat bestätigt, dass das Bett frei ist"],
];
