package envelope

import "testing"

// benchEvent is about 1.3 kB, as real events are.
const benchEvent = `{"specversion":"1.0","id":"7e66b92e244510e195864d3c7febee71","source":"/agents/airline-support","type":"agent.output","time":"2026-01-31T11:58:04.033Z","subject":"user:mia_li_3668","authtype":"user","authid":"mia_li_3668","datacontenttype":"application/json","traceparent":"00-92ae6201a7530c2f7ff6c4acf6442563-012b6e8741450eec-01","parentspanid":"b513e66c371349f6","sequence":12,"tenant":"sierra-air","environment":"prod","agentid":"airline-support","agentname":"Airline support","agentversion":"4.2.0","sessionid":"fac7c6d3b0fb0882","runid":"a04107a4cdf7db05","data":{"gen_ai.operation.name":"chat","gen_ai.provider.name":"openai","gen_ai.request.model":"gpt-4o","gen_ai.response.model":"gpt-4o-2024-08-06","gen_ai.response.id":"chatcmpl-9x8y7z6w5v","gen_ai.response.finish_reasons":["tool_calls"],"gen_ai.usage.input_tokens":3121,"gen_ai.usage.output_tokens":64,"gen_ai.usage.cache_read.input_tokens":2048,"audit.cost.amount":"0.0084425","audit.cost.currency":"USD","audit.cost.source":"estimated","audit.duration_ms":1532.5,"gen_ai.response.time_to_first_chunk":0.412,"audit.status":"ok","gen_ai.output.messages":[{"role":"assistant","parts":[{"type":"text","content":"I have found your reservation under the number ZFA04Y. You are booked in economy from Phoenix to Seattle on 20 May, with one checked bag. You asked to move the return flight; there is a seat on the 09:15, and no change fee applies since you hold a gold membership. Shall I go on and make the change, yes or no?"}]}]}}`

func BenchmarkDecode(b *testing.B) {
	d := NewDecoder(DefaultLimits)
	r := record(benchEvent)
	b.SetBytes(int64(len(benchEvent)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := d.Decode(r); err != nil {
			b.Fatal(err)
		}
	}
}
