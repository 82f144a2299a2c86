package peer;

import com.google.protobuf.ByteString;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;

/** FP32 tensors as the protocol carries them: raw, little-endian. */
final class Tensors {
    private Tensors() {}

    static ByteString encode(float[]... rows) {
        int bytes = rows.length * rows[0].length * Float.BYTES;
        ByteBuffer buffer = ByteBuffer.allocate(bytes).order(ByteOrder.LITTLE_ENDIAN);
        for (float[] row : rows) {
            buffer.asFloatBuffer().put(row);
            buffer.position(buffer.position() + row.length * Float.BYTES);
        }
        return ByteString.copyFrom(buffer.flip());
    }

    static float[] decode(ByteString raw) {
        float[] values = new float[raw.size() / Float.BYTES];
        raw.asReadOnlyByteBuffer().order(ByteOrder.LITTLE_ENDIAN).asFloatBuffer().get(values);
        return values;
    }
}
