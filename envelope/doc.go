// Package envelope is the event contract: what an audit event is, which of its
// attributes have a typed column, how each carrier on Kafka is decoded and what
// makes a record a dead letter. docs/envelope.md is the same for producers.
//
// The package is pure: no I/O, no clock, nothing of ours imported.
package envelope
