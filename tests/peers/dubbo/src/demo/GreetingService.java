// SPDX-License-Identifier: Apache-2.0
package demo;

import java.util.List;
import java.util.Map;

/** The service of every Dubbo test; the frames in tests/data/dubbo are of it too. */
public interface GreetingService {
	String sayHello(String name);

	Order get(long id, Map<String, Object> options, List<Order> more);

	void fail() throws GreetException;

	void failRuntime();

	/** Called one-way. */
	void fire(String what);

	/** How many fire() came. */
	int fired();

	byte[] echoBytes(byte[] bytes);

	/** The attachments that the provider sees; it adds one to the answer. */
	Map<String, String> attachments();

	Object any(Object value);

	/** The provider's name with the group and version that were exported. */
	String whoami();

	/** Answers after so many milliseconds. */
	String slow(int millis);
}
