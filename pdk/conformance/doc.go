// Package conformance holds the kits to one standard: the same plugin in each language, which must give the same results, the same faults and
// the same tapes. plugin.yaml is its manifest, the folders hold its sources, and the tests say what it must give.
//
// A new language implements every action of the manifest in a folder here that has its name in author.Languages.
package conformance
