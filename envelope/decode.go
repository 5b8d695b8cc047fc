package envelope

import (
	"mime"
	"strings"
	"time"
)

// Limits bound what is taken for an event.
type Limits struct {
	// MaxEventBytes is the largest record value, and the largest event made of one.
	MaxEventBytes int
	// An event's time must lie in [Kafka's timestamp - MaxEventAge, Kafka's
	// timestamp + MaxClockSkew]. A record without a timestamp is not judged.
	MaxEventAge  time.Duration
	MaxClockSkew time.Duration
}

// DefaultLimits are 16 MiB, five years and 24 hours.
var DefaultLimits = Limits{MaxEventBytes: 16 << 20, MaxEventAge: 5 * 365 * 24 * time.Hour, MaxClockSkew: 24 * time.Hour}

// Decoder makes events of records. It reuses its memory: the events of a call
// are valid until the next one. It is not safe for concurrent use.
type Decoder struct {
	limits  Limits
	scan    eventScan
	events  []Event
	payload []byte // of events whose carrier has no JSON of its own
	attrs   []ceAttribute
}

// NewDecoder makes a decoder.
func NewDecoder(l Limits) *Decoder { return &Decoder{limits: l, events: make([]Event, 1)} }

// carrier is one way in which events come on Kafka. Further carriers (OTLP,
// Avro, Protobuf) are further entries of carriers.
type carrier struct {
	name   string
	fits   func(rec *Record, contentType string) bool
	decode func(d *Decoder, rec *Record, contentType string) ([]Event, *Invalid)
}

// carriers are asked in order; the last one takes everything and explains.
var carriers = []carrier{
	{"CloudEvents structured", isStructured, (*Decoder).decodeStructured},
	{"CloudEvents binary", isBinary, (*Decoder).decodeBinary},
	{"bare JSON", isJSONContent, (*Decoder).decodeBare},
	{"unknown", func(*Record, string) bool { return true }, (*Decoder).decodeUnknown},
}

// Decode makes events of one record, all of it or nothing. The error is always
// an [*Invalid]. Event strings alias the record.
func (d *Decoder) Decode(rec *Record) ([]Event, error) {
	events, inv := d.decode(rec)
	if inv == nil {
		inv = d.judgeTimes(rec, events)
	}
	if inv != nil {
		return nil, inv
	}
	return events, nil
}

func (d *Decoder) decode(rec *Record) ([]Event, *Invalid) {
	if len(rec.Value) > d.limits.MaxEventBytes {
		return nil, invalid(TooLarge, "", "the record has %d bytes, the limit is %d (sink.max_event_bytes)", len(rec.Value), d.limits.MaxEventBytes)
	}
	contentType := ""
	for i := range rec.Headers {
		if strings.EqualFold(rec.Headers[i].Key, "content-type") {
			contentType = mediaType(string(rec.Headers[i].Value))
		}
	}
	for i := range carriers {
		if carriers[i].fits(rec, contentType) {
			return carriers[i].decode(d, rec, contentType)
		}
	}
	return nil, nil // not reached: the last carrier fits
}

// judgeTimes keeps one broken clock from opening a thousand table partitions.
func (d *Decoder) judgeTimes(rec *Record, events []Event) *Invalid {
	if rec.Timestamp < 0 {
		return nil
	}
	at := rec.Timestamp * 1000
	for i := range events {
		t := events[i].Time()
		if t >= at-d.limits.MaxEventAge.Microseconds() && t <= at+d.limits.MaxClockSkew.Microseconds() {
			continue
		}
		return invalid(TimeOutOfRange, "time", "time is %s, outside of %s before and %s after Kafka's timestamp %s",
			rfc3339(t), d.limits.MaxEventAge, d.limits.MaxClockSkew, rfc3339(at))
	}
	return nil
}

func rfc3339(micros int64) string { return time.UnixMicro(micros).UTC().Format(time.RFC3339Nano) }

// mediaType is the lower-case type of a content-type header, without parameters.
func mediaType(header string) string {
	switch header { // the way of nearly every record
	case structuredType, "application/json":
		return header
	}
	if t, _, err := mime.ParseMediaType(header); err == nil {
		return t
	}
	t, _, _ := strings.Cut(header, ";")
	return strings.ToLower(strings.TrimSpace(t))
}

const structuredType = "application/cloudevents+json"

func isStructured(_ *Record, contentType string) bool { return contentType == structuredType }

func (d *Decoder) decodeStructured(rec *Record, _ string) ([]Event, *Invalid) {
	if len(rec.Value) == 0 {
		return nil, tombstone()
	}
	return d.one(rec.Value, true)
}

func (d *Decoder) one(json []byte, needSpec bool) ([]Event, *Invalid) {
	if inv := d.scan.scan(&d.events[0], json, needSpec); inv != nil {
		return nil, inv
	}
	return d.events[:1], nil
}

func tombstone() *Invalid {
	return invalid(NoEvents, "", "the record has no value")
}

// isJSONContent takes what no header speaks for and what says that it is JSON.
func isJSONContent(rec *Record, contentType string) bool {
	if contentType != "" && contentType != "text/json" && !isJSONType(contentType) {
		return false
	}
	return !looksRegistered(rec.Value)
}

func isJSONType(contentType string) bool {
	return contentType == "application/json" || strings.HasSuffix(contentType, "+json") && !strings.HasPrefix(contentType, "application/cloudevents-batch")
}

// decodeBare takes a JSON object with specversion.
func (d *Decoder) decodeBare(rec *Record, _ string) ([]Event, *Invalid) {
	if len(rec.Value) == 0 {
		return nil, tombstone()
	}
	return d.one(rec.Value, false)
}

// looksRegistered tells the framing of schema registries: a zero byte and the
// four bytes of a schema id. No JSON starts with it.
func looksRegistered(value []byte) bool { return len(value) > 5 && value[0] == 0 }

func (d *Decoder) decodeUnknown(rec *Record, contentType string) ([]Event, *Invalid) {
	switch {
	case len(rec.Value) == 0:
		return nil, tombstone()
	case looksRegistered(rec.Value):
		return nil, invalid(UnknownFormat, "", "the record looks like Avro or Protobuf of a schema registry, which this release does not read")
	}
	return nil, invalid(UnknownFormat, "content-type", "content-type %s is none that this release reads: use %s", excerpt([]byte(contentType)), structuredType)
}
