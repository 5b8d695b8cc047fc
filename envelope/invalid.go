package envelope

import (
	"fmt"
	"strconv"
	"unicode/utf8"
)

// ErrorClass is why a record holds no event; it is the error_class of its dead
// letter.
type ErrorClass string

// The error classes.
const (
	NotUTF8                ErrorClass = "not_utf8"
	NotJSON                ErrorClass = "not_json"
	NotObject              ErrorClass = "not_object"
	TooDeep                ErrorClass = "too_deep"
	TooLarge               ErrorClass = "too_large"
	Missing                ErrorClass = "missing"
	Empty                  ErrorClass = "empty"
	WrongType              ErrorClass = "wrong_type"
	DuplicateKey           ErrorClass = "duplicate_key"
	BadTime                ErrorClass = "bad_time"
	TimeOutOfRange         ErrorClass = "time_out_of_range"
	UnsupportedSpecVersion ErrorClass = "unsupported_specversion"
	UnknownFormat          ErrorClass = "unknown_format"
	NoEvents               ErrorClass = "no_events"
)

// ErrorClasses lists every error class with what it means.
var ErrorClasses = []struct {
	Class ErrorClass
	Doc   string
}{
	{NotUTF8, "bytes that are not UTF-8"},
	{NotJSON, "not one JSON value: grammar, a byte order mark, a lone surrogate, something after the value"},
	{NotObject, "a JSON value that is no object"},
	{TooDeep, "more than 128 levels of nesting"},
	{TooLarge, "larger than max_event_bytes"},
	{Missing, "a required attribute is absent or null"},
	{Empty, "a required attribute is the empty string"},
	{WrongType, "a required attribute is not a string"},
	{DuplicateKey, "a key that is required or has a column stands twice"},
	{BadTime, "time is not RFC 3339"},
	{TimeOutOfRange, "time is too far from Kafka's timestamp"},
	{UnsupportedSpecVersion, "specversion is not 1.0"},
	{UnknownFormat, "no carrier fits the record"},
	{NoEvents, "a record without a value, or a carrier that holds no event"},
}

// Invalid says why a record holds no event.
type Invalid struct {
	Class ErrorClass
	Attr  string // the attribute it is about, "" if none
	Text  string // for people; short, valid UTF-8
}

func (e *Invalid) Error() string { return e.Text }

func invalid(class ErrorClass, attr, format string, args ...any) *Invalid {
	return &Invalid{Class: class, Attr: attr, Text: fmt.Sprintf(format, args...)}
}

// excerpt quotes what was found, bounded and printable.
func excerpt(b []byte) string {
	const most = 48
	if len(b) <= most {
		return strconv.QuoteToASCII(string(b))
	}
	cut := most
	for cut > 0 && !utf8.RuneStart(b[cut]) {
		cut--
	}
	return strconv.QuoteToASCII(string(b[:cut])) + "..."
}
