package envelope

import (
	"bytes"
	"fmt"
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
	events  []Event // of the record, in its order
	payload []byte  // of a binary event
	attrs   []ceAttribute
}

// NewDecoder makes a decoder.
func NewDecoder(l Limits) *Decoder { return &Decoder{limits: l} }

// carrier is one way in which events come on Kafka. A further one (OTLP, Avro,
// Protobuf) is a further entry of carriers; its decode makes the JSON of each
// event that the record holds and gives it to [Decoder.add]. The media type is
// lower-case, without parameters, empty where no header names it.
type carrier struct {
	fits   func(rec *Record, mediaType []byte) bool
	decode func(d *Decoder, rec *Record, mediaType []byte) *Invalid
}

// carriers are asked in order; the last one takes everything and explains.
var carriers = []carrier{
	{isStructured, (*Decoder).decodeStructured},
	{isBinary, (*Decoder).decodeBinary},
	{isBareJSON, (*Decoder).decodeBare},
	{func(*Record, []byte) bool { return true }, (*Decoder).decodeUnknown},
}

// Decode makes events of one record, all of it or nothing. The error is always
// an [*Invalid]. Event strings alias the record.
func (d *Decoder) Decode(rec *Record) ([]Event, error) {
	d.events, d.scan.arena = d.events[:0], d.scan.arena[:0]
	inv := d.decode(rec)
	if inv == nil && len(d.events) == 0 {
		inv = invalid(NoEvents, "", "the record holds no event")
	}
	if inv == nil {
		inv = d.judgeTimes(rec)
	}
	if inv != nil {
		return nil, inv
	}
	return d.events, nil
}

func (d *Decoder) decode(rec *Record) *Invalid {
	if len(rec.Value) > d.limits.MaxEventBytes {
		return invalid(TooLarge, "", "the record has %d bytes, the limit is %d (sink.max_event_bytes)", len(rec.Value), d.limits.MaxEventBytes)
	}
	var mediaType []byte
	for i := range rec.Headers {
		if isContentType(rec.Headers[i].Key) {
			mediaType = mediaTypeOf(rec.Headers[i].Value)
		}
	}
	for i := range carriers {
		if carriers[i].fits(rec, mediaType) {
			return carriers[i].decode(d, rec, mediaType)
		}
	}
	return nil // not reached: the last carrier fits
}

// add makes one more event of the record from its JSON, which becomes the
// event's payload and must stay as it is until the next call of Decode.
// needSpec is as for [eventScan.scan].
func (d *Decoder) add(json []byte, needSpec bool) *Invalid {
	n := len(d.events)
	if n < cap(d.events) {
		d.events = d.events[:n+1] // with the memory of an earlier event
	} else {
		d.events = append(d.events, Event{})
	}
	ev := &d.events[n]
	if inv := d.scan.scan(ev, json, needSpec); inv != nil {
		return inv
	}
	ev.Index = int32(n)
	return nil
}

// lastTimestamp bounds Kafka's timestamps, in milliseconds, so that microseconds
// do not overflow: the year 287396.
const lastTimestamp = 1 << 53

// judgeTimes keeps one broken clock from opening a thousand table partitions.
func (d *Decoder) judgeTimes(rec *Record) *Invalid {
	if rec.Timestamp < 0 {
		return nil
	}
	at := min(rec.Timestamp, lastTimestamp) * 1000
	for i := range d.events {
		t := d.events[i].Time()
		if t >= at-d.limits.MaxEventAge.Microseconds() && t <= at+d.limits.MaxClockSkew.Microseconds() {
			continue
		}
		return invalid(TimeOutOfRange, "time", "time is %s, Kafka's timestamp %s: more than %s before it or %s after it",
			rfc3339(t), rfc3339(at), inDays(d.limits.MaxEventAge), inDays(d.limits.MaxClockSkew))
	}
	return nil
}

func rfc3339(micros int64) string { return time.UnixMicro(micros).UTC().Format(time.RFC3339Nano) }

// inDays writes a duration as the configuration does: 183d, or with hours.
func inDays(d time.Duration) string {
	const day = 24 * time.Hour
	if d >= day && d%day == 0 {
		return fmt.Sprintf("%dd", d/day)
	}
	return d.String()
}

func isContentType(key string) bool { return strings.EqualFold(key, "content-type") }

// mediaTypeOf is the lower-case type of a content-type header, without parameters.
func mediaTypeOf(header []byte) []byte {
	t, _, _ := bytes.Cut(header, []byte{';'})
	t = bytes.TrimSpace(t)
	for _, c := range t {
		if c >= 'A' && c <= 'Z' {
			return bytes.ToLower(t)
		}
	}
	return t
}

const structuredType = "application/cloudevents+json"

func isStructured(_ *Record, mediaType []byte) bool { return string(mediaType) == structuredType }

func (d *Decoder) decodeStructured(rec *Record, _ []byte) *Invalid {
	if len(rec.Value) == 0 {
		return tombstone()
	}
	return d.add(rec.Value, true)
}

func tombstone() *Invalid {
	return invalid(NoEvents, "", "the record has no value")
}

// isBareJSON takes what no header speaks for and what says that it is JSON. A
// batch of CloudEvents is neither.
func isBareJSON(rec *Record, mediaType []byte) bool {
	return isJSONType(mediaType) && !bytes.HasPrefix(mediaType, []byte("application/cloudevents")) && !looksRegistered(rec.Value)
}

// isJSONType reports whether data of a media type is JSON, which it is where
// none is given.
func isJSONType(mediaType []byte) bool {
	return len(mediaType) == 0 || bytes.HasSuffix(mediaType, []byte("/json")) || bytes.HasSuffix(mediaType, []byte("+json"))
}

// decodeBare takes a JSON object with specversion.
func (d *Decoder) decodeBare(rec *Record, _ []byte) *Invalid {
	if len(rec.Value) == 0 {
		return tombstone()
	}
	return d.add(rec.Value, false)
}

// looksRegistered tells the framing of schema registries: a zero byte and the
// four bytes of a schema id. No JSON starts with it.
func looksRegistered(value []byte) bool { return len(value) > 5 && value[0] == 0 }

func (d *Decoder) decodeUnknown(rec *Record, mediaType []byte) *Invalid {
	switch {
	case len(rec.Value) == 0:
		return tombstone()
	case looksRegistered(rec.Value):
		return invalid(UnknownFormat, "", "the record looks like Avro or Protobuf of a schema registry, which this release does not read")
	}
	return invalid(UnknownFormat, "content-type", "content-type %s is none that this release reads: use %s", excerpt(mediaType), structuredType)
}
