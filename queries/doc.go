// Package queries answers questions about an audit lake in SQL.
//
// A run goes through four steps. The catalog plans which data files hold the
// rows (plan.go). A probe, a DuckDB without data or access, decides whether the
// SQL may run at all and which tables it reads (probe.go). Only then an engine,
// a second DuckDB, is opened over exactly those files and locked down
// (engine.go), and its result is written in the form asked for (output.go).
// Every run has engines of its own, so no statement can prepare the ground for
// the next one.
//
// The canned queries are the .sql files in the folders of this package, one
// question each; their headers (query.go) say what they take and return.
//
// This is the only package that imports DuckDB.
package queries
