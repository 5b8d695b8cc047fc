// Package arrowconv turns decoded events into Arrow record batches with the
// columns of a table, and records that hold no event into rows of dead_letters.
//
// Columns are bound by name when a builder is made, see [NewBuilder]. Values
// are copied when a row is appended: nothing of the event or of the record
// behind it is kept. Builders fill Arrow's buffers themselves, and get them
// back when a record batch is released: in a steady state a row allocates
// nothing.
package arrowconv
