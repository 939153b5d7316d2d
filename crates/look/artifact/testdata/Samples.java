// Makes the samples of Java's serialisation: `java Samples.java` in this folder. Nothing here is ever read back.

import java.io.*;
import java.lang.reflect.*;
import java.math.BigDecimal;
import java.net.URL;
import java.util.*;

public class Samples {
    enum Kind { LOW, HIGH }

    static class Handler implements InvocationHandler, Serializable {
        public Object invoke(Object proxy, Method method, Object[] arguments) { return null; }
    }

    interface Step extends java.util.function.Function<String, String>, Serializable {}

    static void write(String name, Object... things) throws IOException {
        try (ObjectOutputStream stream = new ObjectOutputStream(new FileOutputStream(name))) {
            for (Object thing : things) stream.writeObject(thing);
            if (things.length > 1) {
                stream.writeInt(7);
                stream.writeUTF("a remark");
                stream.reset();
                stream.writeObject(things[0]);
            }
        }
    }

    public static void main(String[] arguments) throws IOException {
        Map<String, Object> model = new LinkedHashMap<>();
        model.put("weights", new double[] {1, 2, 3});
        model.put("layers", new float[][] {{1, 2}, {3}});
        model.put("names", new ArrayList<>(List.of("age", "income")));
        model.put("made", new Date(0));
        model.put("count", 5);
        model.put("price", new BigDecimal("1.5"));
        model.put("bits", new BitSet(70));
        model.put("tree", new TreeMap<>(Map.of("left", 1L)));
        model.put("random", new Random(1));
        model.put("itself", model.get("names"));
        model.put("fixed", Collections.unmodifiableList(new ArrayList<>(List.of('x'))));
        write("honest.ser", model, new int[] {1, 2}, "a text", null, String.class);
        write("proxy.ser", Proxy.newProxyInstance(Samples.class.getClassLoader(), new Class<?>[] {Runnable.class}, new Handler()));
        Step step = text -> text + "x";
        write("lambda.ser", step);
        write("address.ser", new HashMap<>(Map.of(new URL("http://127.0.0.1/"), 1)));
        write("kind.ser", Kind.HIGH);
    }
}
