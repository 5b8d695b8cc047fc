package arrowconv

import (
	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

// shape is what a source of values asks of its column's Arrow type.
type shape uint8

const (
	shapeText     shape = iota // string
	shapeBinary                // binary
	shapeInteger               // 32-bit values: int, or long after a widening
	shapeLong                  // long
	shapeDouble                // double
	shapeDecimal9              // decimal of scale 9 with at least 18 digits
	shapeTime                  // microseconds, UTC
	shapeTexts                 // list of strings
	shapeHeaders               // list of struct of string key and binary value
)

func (s shape) String() string {
	return [...]string{
		"text", "bytes", "32-bit integers", "64-bit integers", "doubles", "decimals of 18 digits, 9 of them after the point",
		"times in microseconds, UTC", "lists of text", "lists of (key text, value bytes or none)",
	}[s]
}

// column makes a column of type t, if values of shape s fit it as they are.
// What Iceberg lets a type be widened to is taken where it loses nothing.
func (s shape) column(t arrow.DataType, mem memory.Allocator) (*column, bool) {
	is := func(id arrow.Type, l layout) (*column, bool) {
		if t.ID() != id {
			return nil, false
		}
		return newColumn(t, l, mem), true
	}
	switch s {
	case shapeText:
		return is(arrow.STRING, layoutText)
	case shapeBinary:
		return is(arrow.BINARY, layoutText)
	case shapeInteger:
		if c, ok := is(arrow.INT32, layoutInt32); ok {
			return c, true
		}
		return is(arrow.INT64, layoutInt64)
	case shapeLong:
		return is(arrow.INT64, layoutInt64)
	case shapeDouble:
		return is(arrow.FLOAT64, layoutFloat64)
	case shapeDecimal9:
		if d, ok := t.(*arrow.Decimal128Type); !ok || d.Scale != 9 || d.Precision < 18 {
			return nil, false
		}
		return is(arrow.DECIMAL128, layoutDecimal)
	case shapeTime:
		if ts, ok := t.(*arrow.TimestampType); !ok || ts.Unit != arrow.Microsecond || ts.TimeZone != "UTC" {
			return nil, false
		}
		return is(arrow.TIMESTAMP, layoutInt64)
	case shapeTexts:
		l, ok := t.(*arrow.ListType)
		if !ok {
			return nil, false
		}
		elem, ok := shapeText.column(l.Elem(), mem)
		return newColumn(t, layoutList, mem, elem), ok
	case shapeHeaders:
		return headersColumn(t, mem)
	}
	return nil, false
}

// headersColumn takes the two fields in their order; evolution may have renamed
// neither.
func headersColumn(t arrow.DataType, mem memory.Allocator) (*column, bool) {
	l, ok := t.(*arrow.ListType)
	if !ok {
		return nil, false
	}
	st, ok := l.Elem().(*arrow.StructType)
	if !ok || st.NumFields() != 2 || st.Field(0).Name != "key" || st.Field(1).Name != "value" || !st.Field(1).Nullable {
		return nil, false
	}
	key, okKey := shapeText.column(st.Field(0).Type, mem)
	value, okValue := shapeBinary.column(st.Field(1).Type, mem)
	if !okKey || !okValue {
		return nil, false
	}
	return newColumn(t, layoutList, mem, newColumn(st, layoutStruct, mem, key, value)), true
}
