// SPDX-License-Identifier: Apache-2.0
package demo;

import java.math.BigDecimal;
import java.util.Arrays;
import java.util.Date;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.dubbo.rpc.RpcContext;

public class Impl implements GreetingService {
	private final String name;
	private final AtomicInteger fires = new AtomicInteger();

	public Impl(String name) {
		this.name = name;
	}

	@Override
	public String sayHello(String who) {
		return "Hello, " + who;
	}

	@Override
	public Order get(long id, Map<String, Object> options, List<Order> more) {
		Order o = new Order();
		Map<String, Object> extra = new LinkedHashMap<>();

		extra.put("n", more == null ? -1 : more.size());
		extra.put("options", options);
		o.id = id;
		o.title = "order-" + id + " \u4f60\u597d";
		o.price = 12.5;
		o.gift = true;
		o.quantity = 3;
		o.created = new Date(1700000000123L);
		o.status = Order.Status.PAID;
		o.tags = Arrays.asList("a", "b");
		o.extra = extra;
		o.total = new BigDecimal("99.90");
		o.parent = more == null || more.isEmpty() ? null : more.get(0);
		o.blob = new byte[] { 0, 1, 2, (byte) 255 };
		return o;
	}

	@Override
	public void fail() throws GreetException {
		throw new GreetException("checked boom", 42);
	}

	@Override
	public void failRuntime() {
		throw new IllegalStateException("runtime boom");
	}

	@Override
	public void fire(String what) {
		fires.incrementAndGet();
	}

	@Override
	public int fired() {
		return fires.get();
	}

	@Override
	public byte[] echoBytes(byte[] bytes) {
		return bytes;
	}

	@Override
	public Map<String, String> attachments() {
		Map<String, String> seen = new TreeMap<>();

		for (Map.Entry<String, ?> e : RpcContext.getContext().getAttachments().entrySet())
			seen.put(e.getKey(), String.valueOf((Object) e.getValue()));
		RpcContext.getServerContext().setAttachment("from-server", "yes");
		return seen;
	}

	@Override
	public Object any(Object value) {
		return value;
	}

	@Override
	public String whoami() {
		return name;
	}

	@Override
	public String slow(int millis) {
		try {
			Thread.sleep(millis);
		} catch (InterruptedException e) {
			return "interrupted";
		}
		return name + " after " + millis;
	}
}
