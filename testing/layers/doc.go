// Package layers holds tests about the repository itself: which package may import which (docs/ARCHITECTURE.md is the rule book that they
// read), that everything is documented, that no state hides in package variables, and that the commands and examples of the docs are real.
package layers
