// Package layers holds tests about the repository itself: which package may import which (docs/ARCHITECTURE.md is the rule book that they
// read), that everything is documented, that no state hides in package variables, that the commands and examples of the docs are real, and
// that every promise of docs/security-model.md is held by a test.
package layers
