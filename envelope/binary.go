package envelope

import (
	"cmp"
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
	value []byte // nil where the header has no value
}

func hasCEPrefix(key string) bool {
	return len(key) > len(cePrefix) && strings.EqualFold(key[:len(cePrefix)], cePrefix)
}

func isBinary(rec *Record, _ []byte) bool {
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
func (d *Decoder) decodeBinary(rec *Record, mediaType []byte) *Invalid {
	if inv := d.collectAttributes(rec); inv != nil {
		return inv
	}
	p := append(d.payload[:0], '{')
	for i, a := range d.attrs {
		if i > 0 {
			p = append(p, ',')
		}
		p = appendJSONString(p, []byte(a.name))
		p = append(p, ':')
		if a.value == nil {
			p = append(p, "null"...)
			continue
		}
		p = appendJSONString(p, a.value)
	}
	switch {
	case len(rec.Value) == 0:
	case isJSONType(mediaType):
		p = append(p, `,"data":`...)
		p = append(p, rec.Value...)
	default:
		p = append(p, `,"data_base64":"`...)
		p = base64.StdEncoding.AppendEncode(p, rec.Value)
		p = append(p, '"')
	}
	d.payload = append(p, '}')
	if len(d.payload) > d.limits.MaxEventBytes {
		return invalid(TooLarge, "", "the event has %d bytes with its headers, the limit is %d (sink.max_event_bytes)", len(d.payload), d.limits.MaxEventBytes)
	}
	if isJSONType(mediaType) {
		if inv := oneValue(rec.Value); inv != nil {
			return inv
		}
	}
	return d.add(d.payload, true)
}

// oneValue wants the data of a binary event to be one JSON value by itself:
// inside the structured form a stray `,"id":"x"` would pass for attributes.
func oneValue(data []byte) *Invalid {
	if len(data) == 0 {
		return nil
	}
	if !utf8.Valid(data) {
		return invalid(NotUTF8, "data", "data is not UTF-8 at byte %d", firstNotUTF8(data))
	}
	s := eventScan{scanner: scanner{buf: data, depth: 1}}
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
		case isContentType(h.Key):
			name = "datacontenttype"
		default:
			continue
		}
		if !utf8.ValidString(name) {
			return invalid(NotUTF8, "", "the key of header %s is not UTF-8", excerpt([]byte(h.Key)))
		}
		if !utf8.Valid(h.Value) {
			attr := ""
			if a := contextKeys.find([]byte(name)); a != nil {
				attr = a.name
			}
			return invalid(NotUTF8, attr, "header %s is %s, which is not UTF-8", excerpt([]byte(h.Key)), excerpt(h.Value))
		}
		d.attrs = append(d.attrs, ceAttribute{name, h.Value})
	}
	slices.SortStableFunc(d.attrs, func(a, b ceAttribute) int { return cmp.Compare(a.name, b.name) })
	return nil
}
