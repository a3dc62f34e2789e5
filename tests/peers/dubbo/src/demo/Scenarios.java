// SPDX-License-Identifier: Apache-2.0
package demo;

import java.math.BigDecimal;
import java.math.BigInteger;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Date;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Random;
import java.util.TreeMap;
import java.util.UUID;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.dubbo.rpc.RpcContext;
import org.apache.dubbo.rpc.RpcException;

/** What a consumer can be asked to do. Each scenario prints what it got, without anything that differs from run to run. */
final class Scenarios {
	private interface Scenario {
		String run(GreetingService g) throws Exception;
	}

	private static final Map<String, Scenario> ALL = new HashMap<>();

	static {
		ALL.put("hello", g -> g.sayHello("world"));
		ALL.put("utf8", g -> g.sayHello("\u00e9\u4f60\u597d\ud83d\ude00"));
		ALL.put("null", g -> g.sayHello(null));
		ALL.put("get", Scenarios::get);
		ALL.put("attach", Scenarios::attach);
		ALL.put("fail", Scenarios::fail);
		ALL.put("failrt", Scenarios::failRuntime);
		ALL.put("oneway", Scenarios::oneway);
		ALL.put("void", g -> String.valueOf(g.any(null)));
		ALL.put("big", g -> big(g, 1 << 20));
		ALL.put("toobig", g -> big(g, 9 << 20));
		ALL.put("crowd", Scenarios::crowd);
		ALL.put("bigstr", Scenarios::bigString);
		ALL.put("types", Scenarios::types);
		ALL.put("seen", g -> String.valueOf(g.attachments()));
		ALL.put("whoami", GreetingService::whoami);
		ALL.put("slow", g -> g.slow(400));
	}

	private Scenarios() {
	}

	/** @word: a name, NAMExCOUNT (the answers counted), or NAME@key=value (with an attachment). */
	static void run(GreetingService g, String word) {
		String[] tagged = word.split("@", 2);
		String[] counted = tagged[0].split("x(?=\\d+$)", 2);
		int n = counted.length > 1 ? Integer.parseInt(counted[1]) : 1;
		Map<String, Integer> got = new TreeMap<>();

		for (int i = 0; i < n; i++)
			got.merge(once(g, counted[0], tagged.length > 1 ? tagged[1].split("=", 2) : null), 1, Integer::sum);
		for (Map.Entry<String, Integer> e : got.entrySet())
			System.out.println(word + " -> " + (n > 1 ? e.getValue() + " " : "") + e.getKey());
	}

	private static String once(GreetingService g, String name, String[] attachment) {
		Scenario s = ALL.get(name);

		if (s == null)
			return "no such scenario";
		try {
			RpcContext.removeContext(); /* 2.7 keeps attachments from call to call */
			if (attachment != null)
				RpcContext.getContext().setAttachment(attachment[0], attachment[1]);
			return s.run(g);
		} catch (Throwable t) {
			return show(t);
		}
	}

	/** Classes and texts of the exception and its causes; addresses, ports and times are taken out. */
	private static String show(Throwable t) {
		StringBuilder b = new StringBuilder();

		for (Throwable at = t; at != null && b.length() < 4000; at = at.getCause() == at ? null : at.getCause()) {
			b.append(b.length() == 0 ? "THREW " : " / ").append(at.getClass().getName());
			if (at instanceof RpcException)
				b.append(" code ").append(((RpcException) at).getCode());
			b.append(" ").append(at.getMessage());
		}
		return b.toString().replaceAll("\\s+", " ").replaceAll("/?\\d+\\.\\d+\\.\\d+\\.\\d+:\\d+", "ADDRESS")
			.replaceAll("(?<![\\w.])\\d+(?= ms)", "TIME").replaceAll("\\d{4}-\\d\\d-\\d\\d [\\d:.,]+", "TIME")
			.replaceAll("(?i)((?:request|invoker|broken) ?id[=: ]+)-?\\d+", "$1ID")
			.replaceAll("(?<=[=(])-?\\d{9,}", "ID").replaceAll("[\\w.$]+@[0-9a-f]{6,8}", "OBJECT")
			.replaceAll("id: 0x[0-9a-f]+", "id: ID");
	}

	private static Order order(long id) {
		Order o = new Order();

		o.id = id;
		o.title = "t" + id;
		o.price = id * 1.5;
		o.status = Order.Status.NEW;
		o.created = new Date(1600000000000L);
		return o;
	}

	/** Nested maps and lists, references to the same object and a loop. */
	private static String get(GreetingService g) {
		Map<String, Object> m = new LinkedHashMap<>();
		Order one = order(1);
		Order two = order(2);

		m.put("s", "v");
		m.put("i", 7);
		m.put("l", 1L << 40);
		m.put("d", 3.25);
		m.put("b", true);
		m.put("n", null);
		m.put("big", new BigDecimal("1.10"));
		m.put("list", Arrays.asList(1, 2L, "x"));
		two.parent = one;
		one.parent = one;
		return String.valueOf(g.get(1234567890123L, m, new ArrayList<>(Arrays.asList(one, two, one))));
	}

	private static String attach(GreetingService g) {
		RpcContext c = RpcContext.getContext();

		c.setAttachment("dubbo.tag", "gray");
		c.setAttachment("x-request-id", "req-1");
		c.setAttachment("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
		return g.attachments() + " and back " + new TreeMap<>(RpcContext.getServerContext().getAttachments());
	}

	private static String fail(GreetingService g) {
		try {
			g.fail();
			return "nothing was thrown";
		} catch (GreetException e) {
			return e + " code " + e.getCode();
		}
	}

	private static String failRuntime(GreetingService g) {
		try {
			g.failRuntime();
			return "nothing was thrown";
		} catch (IllegalStateException e) {
			return e.toString();
		}
	}

	private static String oneway(GreetingService g) throws Exception {
		int before = g.fired();

		g.fire("bang");
		for (int i = 0; i < 100 && g.fired() == before; i++)
			Thread.sleep(20);
		return "came " + (g.fired() - before) + " times";
	}

	private static String big(GreetingService g, int size) {
		byte[] b = new byte[size];

		new Random(1).nextBytes(b);
		byte[] back = g.echoBytes(b);
		return back.length + " bytes, " + (Arrays.equals(b, back) ? "the same" : "others");
	}

	private static String bigString(GreetingService g) {
		StringBuilder b = new StringBuilder();

		for (int i = 0; i < 100000; i++)
			b.append(i % 7 == 0 ? '\u597d' : (char) ('a' + i % 26));
		String back = g.sayHello(b.toString());
		return back.length() + " characters, " + (back.equals("Hello, " + b) ? "the same" : "others");
	}

	/** Many threads with small and big calls over the one connection that they share. */
	private static String crowd(GreetingService g) throws Exception {
		int[] sizes = { 1, 100, 5000, 70000, 300000 };
		AtomicInteger right = new AtomicInteger();
		Thread[] threads = new Thread[12];

		for (int i = 0; i < threads.length; i++) {
			int number = i;

			threads[i] = new Thread(() -> {
				for (int k = 0; k < 20; k++) {
					byte[] b = new byte[sizes[(number + k) % sizes.length]];

					Arrays.fill(b, (byte) (number * 20 + k));
					if (Arrays.equals(b, g.echoBytes(b)) && g.sayHello(number + "." + k).equals("Hello, " + number + "." + k))
						right.incrementAndGet();
				}
			});
			threads[i].start();
		}
		for (Thread t : threads)
			t.join();
		return right + " of " + threads.length * 20 + " are right";
	}

	private static List<Object> values() {
		return new ArrayList<>(Arrays.asList(1, -17, 2047, -262144, 300000, 1L, -9L, Long.MAX_VALUE, 0.0, 1.0, -128.0, 32767.0,
			12.25, Math.PI, 1.5f, (short) 5, (byte) 6, 'c', true, false, null, new int[] { 1, 2, 3 },
			new String[] { "a", "b" }, new long[] { 1, 2, 3, 4, 5, 6, 7, 8, 9 }, new Date(0), new Date(6000000L),
			new HashSet<>(Arrays.asList("q")), Order.Status.SHIPPED, new BigInteger("123456789012345678901234567890"),
			new Object[] { "o", 1 }, String.class, java.time.LocalDate.of(2024, 2, 29), new byte[0], new byte[2000],
			UUID.fromString("00000000-0000-0001-0000-000000000002"), Locale.US));
	}

	private static String types(GreetingService g) {
		AtomicInteger n = new AtomicInteger();
		StringBuilder b = new StringBuilder();

		for (Object o : values()) {
			String got;

			try {
				Object back = g.any(o);

				got = back == null ? "null" : back.getClass().getName() + " "
					+ Arrays.deepToString(new Object[] { back });
				n.incrementAndGet();
			} catch (Throwable t) {
				got = show(t).split(":", 2)[0];
			}
			b.append(" | ").append(got);
		}
		return n + " of " + values().size() + b;
	}
}
