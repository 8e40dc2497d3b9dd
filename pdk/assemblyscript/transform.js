// Gives the exported functions of a plugin the names of its actions. AssemblyScript has no dashes in names: look_up becomes look-up. And where a
// name is a word of the language, an underscore behind it goes away: delete_ becomes delete.
export default class {
  afterCompile(module) {
    const { binaryen } = this;
    const all = Array.from({ length: module.getNumExports() }, (_, i) => binaryen.getExportInfo(module.getExportByIndex(i)));
    for (const { kind, name, value } of all) {
      if (kind === binaryen.ExternalFunction && /^[a-z].*_/.test(name) && name !== "riposte_warm") {
        module.removeExport(name);
        module.addFunctionExport(value, name.replace(/_$/, "").replaceAll("_", "-"));
      }
    }
  }
}
