// Package cli is Carillon's command line: carillon, and the same binary under the name temporal-timer, as an extension
// of Temporal's own CLI.
//
// # Conventions
//
// Commands are nouns and verbs (timer create); everything else is a named flag, there are no positional arguments. What
// a command is asked for goes to standard output, everything else (progress, hints, errors) to standard error. --output
// (-o) chooses the form: text for people; json, one document, an array where there may be many; jsonl, one object on
// each line, written as it comes. A reader that goes away, as head does, is no error.
//
// # Exit codes
//
// 0 done; 1 an error that is none of Carillon's, or a demo that found something wrong; 2 bad input; 3 the name is
// taken; 4 no such timer; 5 too late, it is being fired; 6 the version differs; 7 over quota; 8 Temporal or the store
// cannot be reached; 130 interrupted.
package cli
