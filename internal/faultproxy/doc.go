// Package faultproxy stands between a client and a server of a test and makes
// what is in between fail: HTTP for object stores and REST services, TCP for what
// else speaks over connections. It is for tests only.
package faultproxy
