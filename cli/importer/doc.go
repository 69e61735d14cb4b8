// Package importer creates timers from NDJSON: one carillon.TimerSpec in JSON per line, any number of lines, in
// constant memory, several batches in flight.
//
// # Nothing is created twice
//
// An import can be stopped, or killed, at any moment and run again. A journal beside the file remembers it:
//
//   - Before a batch of lines is sent, the journal says so, synced to disk: its bytes, their sum, the time. When the
//     answers are in, it says that too. So after a crash only the batches that were in flight are in doubt.
//   - A batch in doubt is sent again under the same request id, which is made of the import's id and the batch's
//     offset. For RequestMemory the service remembers the answer of that request and gives it again.
//   - After a longer pause the service is asked about each line in doubt. That works because no line is without
//     identity: one that names no timer gets the name "import/<import id>/<line number>" (see Options.ExactlyOnce).
//     What is there, or has been fired since, is counted; what is not there is created.
//   - Only a line of which the service cannot know any more (due long ago, and forgotten since) is neither created nor
//     counted: it is reported with the refused ones, to be judged by a person.
//
// # Refused lines
//
// A line that is no timer, or that the service refuses, does not stop the import: it goes to the refused file, one JSON
// object per line with the line's number, the error and the text as it was. The file is cut back to what the journal
// knows of when an import is resumed, so no line is reported twice.
package importer
