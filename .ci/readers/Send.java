import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.cloudevents.CloudEvent;
import io.cloudevents.core.builder.CloudEventBuilder;
import io.cloudevents.core.message.Encoding;
import io.cloudevents.jackson.JsonFormat;
import io.cloudevents.kafka.CloudEventSerializer;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.time.OffsetDateTime;
import java.util.ArrayList;
import java.util.Base64;
import java.util.HashMap;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Future;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.StringSerializer;

/**
 * Sends events with the CloudEvents SDK for Java and Kafka's own client. What it
 * reads is said in send.py: `java -cp 'JARS/*' Send.java BROKER TOPIC <BATCHES`.
 */
class Send {
    private static final ObjectMapper JSON = new ObjectMapper();

    public static void main(String[] args) throws Exception {
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            send(args[0], args[1], JSON.readTree(line));
        }
    }

    static void send(String broker, String topic, JsonNode batch) throws Exception {
        String transaction = batch.get("transaction").asText();
        Map<String, Object> config = new HashMap<>();
        config.put("bootstrap.servers", broker);
        config.put("compression.type", batch.get("codec").asText());
        config.put("enable.idempotence", true);
        config.put("linger.ms", 20);
        config.put("key.serializer", StringSerializer.class);
        config.put("value.serializer", CloudEventSerializer.class);
        config.put(CloudEventSerializer.ENCODING_CONFIG, Encoding.valueOf(batch.get("mode").asText().toUpperCase()));
        if (batch.get("mode").asText().equals("structured")) {
            config.put(CloudEventSerializer.EVENT_FORMAT_CONFIG, JsonFormat.CONTENT_TYPE);
        }
        if (!transaction.equals("none")) {
            config.put("transactional.id", "java-" + batch.at("/events/0/attributes/id").asText());
        }
        try (KafkaProducer<String, CloudEvent> producer = new KafkaProducer<>(config)) {
            if (!transaction.equals("none")) {
                producer.initTransactions();
                producer.beginTransaction();
            }
            List<Future<?>> sent = new ArrayList<>();
            for (JsonNode e : batch.get("events")) {
                sent.add(producer.send(new ProducerRecord<>(topic, e.at("/attributes/partitionkey").asText(null), event(e))));
            }
            producer.flush(); // also what will be aborted is in the log
            for (Future<?> s : sent) {
                s.get();
            }
            if (transaction.equals("commit")) {
                producer.commitTransaction();
            } else if (transaction.equals("abort")) {
                producer.abortTransaction();
            }
        }
    }

    static CloudEvent event(JsonNode e) throws Exception {
        CloudEventBuilder b = CloudEventBuilder.v1();
        JsonNode attributes = e.get("attributes");
        for (Iterator<String> names = attributes.fieldNames(); names.hasNext();) {
            String name = names.next();
            JsonNode value = attributes.get(name);
            switch (name) {
                case "specversion": break;
                case "id": b.withId(value.asText()); break;
                case "source": b.withSource(URI.create(value.asText())); break;
                case "type": b.withType(value.asText()); break;
                case "time": b.withTime(OffsetDateTime.parse(value.asText())); break;
                case "subject": b.withSubject(value.asText()); break;
                case "dataschema": b.withDataSchema(URI.create(value.asText())); break;
                case "datacontenttype": b.withDataContentType(value.asText()); break;
                default:
                    if (value.isInt()) {
                        b.withExtension(name, value.asInt());
                    } else {
                        b.withExtension(name, value.asText());
                    }
            }
        }
        if (e.has("json")) {
            b.withData(JSON.writeValueAsBytes(e.get("json")));
        } else if (e.has("text")) {
            b.withData(e.get("text").asText().getBytes(StandardCharsets.UTF_8));
        } else if (e.has("base64")) {
            b.withData(Base64.getDecoder().decode(e.get("base64").asText()));
        }
        return b.build();
    }
}
