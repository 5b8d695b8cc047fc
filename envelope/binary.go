package envelope

import (
	"bytes"
	"encoding/base64"
	"slices"
	"strings"
	"unicode/utf8"
)

// CloudEvents binary mode on Kafka: context attributes are headers named
// ce_<attribute>, data is the record's value, its media type the content-type
// header (CloudEvents Kafka protocol binding 1.0.2, section 3.2).

const cePrefix = "ce_"

type ceAttribute struct {
	name  string
	value []byte
}

func hasCEPrefix(key string) bool {
	return len(key) > len(cePrefix) && strings.EqualFold(key[:len(cePrefix)], cePrefix)
}

func isBinary(rec *Record, _ string) bool {
	for i := range rec.Headers {
		if hasCEPrefix(rec.Headers[i].Key) {
			return true
		}
	}
	return false
}

// decodeBinary makes the structured form, which becomes the event's payload:
// the context attributes in order of name, then data with the value's bytes as
// they are where they are JSON, else data_base64.
func (d *Decoder) decodeBinary(rec *Record, contentType string) ([]Event, *Invalid) {
	if inv := d.collectAttributes(rec); inv != nil {
		return nil, inv
	}
	p := append(d.payload[:0], '{')
	for i, a := range d.attrs {
		if i > 0 {
			p = append(p, ',')
		}
		p = appendJSONString(p, []byte(a.name))
		p = append(p, ':')
		p = appendJSONString(p, a.value)
	}
	switch {
	case len(rec.Value) == 0:
	case contentType == "" || contentType == "text/json" || isJSONType(contentType):
		p = append(p, `,"data":`...)
		p = append(p, rec.Value...)
	default:
		p = append(p, `,"data_base64":"`...)
		p = base64.StdEncoding.AppendEncode(p, rec.Value)
		p = append(p, '"')
	}
	d.payload = append(p, '}')
	if len(d.payload) > d.limits.MaxEventBytes {
		return nil, invalid(TooLarge, "", "the event has %d bytes with its headers, the limit is %d (sink.max_event_bytes)", len(d.payload), d.limits.MaxEventBytes)
	}
	if inv := d.oneValue(rec, contentType); inv != nil {
		return nil, inv
	}
	return d.one(d.payload, true)
}

// oneValue wants the data of a binary event to be one JSON value by itself:
// inside the structured form a stray `,"id":"x"` would pass for attributes.
func (d *Decoder) oneValue(rec *Record, contentType string) *Invalid {
	if len(rec.Value) == 0 || contentType != "" && contentType != "text/json" && !isJSONType(contentType) {
		return nil
	}
	if !utf8.Valid(rec.Value) {
		return invalid(NotUTF8, "data", "data is not UTF-8 at byte %d", firstNotUTF8(rec.Value))
	}
	s := eventScan{scanner: scanner{buf: rec.Value, depth: 1}}
	var t token
	if !s.value(&t) || !s.end() {
		return s.err
	}
	return nil
}

func (d *Decoder) collectAttributes(rec *Record) *Invalid {
	d.attrs = d.attrs[:0]
	for i := range rec.Headers {
		h := &rec.Headers[i]
		name := ""
		switch {
		case hasCEPrefix(h.Key):
			name = h.Key[len(cePrefix):]
		case strings.EqualFold(h.Key, "content-type"):
			name = "datacontenttype"
		default:
			continue
		}
		if !utf8.ValidString(name) || !utf8.Valid(h.Value) {
			return invalid(NotUTF8, "", "header %s is not UTF-8", excerpt([]byte(h.Key)))
		}
		d.attrs = append(d.attrs, ceAttribute{name, h.Value})
	}
	slices.SortStableFunc(d.attrs, func(a, b ceAttribute) int { return bytes.Compare([]byte(a.name), []byte(b.name)) })
	return nil
}
