package groupkeeper

import (
	"github.com/twmb/franz-go/pkg/kbin"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// parse reads a request without its size; nil where it is none.
func parse(b []byte) kmsg.Request {
	r := kbin.Reader{Src: b}
	key, version := r.Int16(), r.Int16()
	_, _ = r.Int32(), r.NullableString() // correlation id, client id
	req := kmsg.RequestForKey(key)
	if req == nil {
		return nil
	}
	req.SetVersion(version)
	if req.IsFlexible() {
		kmsg.SkipTags(&r)
	}
	if req.ReadFrom(r.Src) != nil {
		return nil
	}
	return req
}
