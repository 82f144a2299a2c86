package peer;

import java.io.BufferedOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import org.msgpack.core.MessagePack;
import org.msgpack.core.MessageUnpacker;

/** Reads a file of transactions, one after the other, and writes their features to stdout as little-endian FP32. */
final class FeatureDump {
    private FeatureDump() {}

    public static void main(String[] args) throws IOException {
        try (MessageUnpacker in = MessagePack.newDefaultUnpacker(Files.newInputStream(Path.of(args[0])));
                OutputStream out = new BufferedOutputStream(System.out)) {
            while (in.hasNext()) {
                out.write(Tensors.encode(Features.of(Transaction.read(in))).toByteArray());
            }
        }
    }
}
