package peer;

import java.io.IOException;
import java.io.UncheckedIOException;
import org.msgpack.core.MessageBufferPacker;
import org.msgpack.core.MessagePack;

/** The value of an output record. */
final class Outcome {
    private static final double REVIEW = 0.2;
    private static final double DECLINE = 0.6;

    private Outcome() {}

    static byte[] encode(String id, float probability) {
        try (MessageBufferPacker out = MessagePack.newDefaultBufferPacker()) {
            out.packMapHeader(3);
            out.packString("id").packString(id);
            out.packString("probability").packDouble(probability);
            out.packString("decision").packString(decision(probability));
            return out.toByteArray();
        } catch (IOException error) {
            throw new UncheckedIOException(error); // it writes to memory
        }
    }

    private static String decision(float probability) {
        return probability < REVIEW ? "approve" : probability < DECLINE ? "review" : "decline";
    }
}
