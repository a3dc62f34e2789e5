// SPDX-License-Identifier: Apache-2.0
package demo;

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.dubbo.config.ApplicationConfig;
import org.apache.dubbo.config.MethodConfig;
import org.apache.dubbo.config.ReferenceConfig;
import org.apache.dubbo.config.RegistryConfig;
import org.apache.dubbo.config.bootstrap.DubboBootstrap;

/**
 * Does what its standard input says, one command a line, each closed with the line DONE:
 *
 *   ref NAME key=value ...   a reference: url (with no registry between), group, version, timeout,
 *                            retries, check, connections (of its own); any other key is a parameter
 *                            of Dubbo's URL: heartbeat, serialization
 *   call NAME SCENARIO ...   see Scenarios
 *   drop NAME                closes it
 *   sleep MILLISECONDS
 */
public final class Consumer {
	private static final List<String> FIELDS =
		Arrays.asList("url", "timeout", "retries", "check", "group", "version", "connections");
	private static final Map<String, ReferenceConfig<GreetingService>> REFS = new HashMap<>();

	private Consumer() {
	}

	private static ReferenceConfig<GreetingService> reference(Map<String, String> o) {
		ReferenceConfig<GreetingService> r = new ReferenceConfig<>();
		Map<String, String> parameters = new HashMap<>();
		MethodConfig fire = new MethodConfig();

		r.setInterface(GreetingService.class);
		r.setUrl(o.get("url"));
		r.setTimeout(Integer.valueOf(o.getOrDefault("timeout", "10000")));
		r.setRetries(Integer.valueOf(o.getOrDefault("retries", "0")));
		r.setCheck(Boolean.valueOf(o.getOrDefault("check", "true")));
		if (o.containsKey("group"))
			r.setGroup(o.get("group"));
		if (o.containsKey("version"))
			r.setVersion(o.get("version"));
		if (o.containsKey("connections"))
			r.setConnections(Integer.valueOf(o.get("connections")));
		for (Map.Entry<String, String> e : o.entrySet())
			if (!FIELDS.contains(e.getKey()))
				parameters.put(e.getKey(), e.getValue());
		if (!parameters.isEmpty())
			r.setParameters(parameters);
		fire.setName("fire");
		fire.setReturn(false);
		r.setMethods(new ArrayList<>(Collections.singletonList(fire)));
		return r;
	}

	private static Map<String, String> options(String[] words, int from) {
		Map<String, String> o = new HashMap<>();

		for (int i = from; i < words.length; i++) {
			String[] pair = words[i].split("=", 2);

			o.put(pair[0], pair[1]);
		}
		return o;
	}

	private static void obey(String[] words) throws Exception {
		switch (words[0]) {
		case "ref":
			REFS.put(words[1], reference(options(words, 2)));
			REFS.get(words[1]).get();
			break;
		case "call":
			for (int i = 2; i < words.length; i++)
				Scenarios.run(REFS.get(words[1]).get(), words[i]);
			break;
		case "drop":
			REFS.remove(words[1]).destroy();
			break;
		case "sleep":
			Thread.sleep(Long.parseLong(words[1]));
			break;
		default:
			System.out.println("unknown command " + words[0]);
		}
	}

	public static void main(String[] args) throws Exception {
		ApplicationConfig app = new ApplicationConfig("demo-consumer");
		BufferedReader in = new BufferedReader(new InputStreamReader(System.in, "UTF-8"));

		app.setQosEnable(false);
		DubboBootstrap.getInstance().application(app).registry(new RegistryConfig("N/A"));
		System.out.println("DONE");
		for (String line = in.readLine(); line != null; line = in.readLine()) {
			try {
				obey(line.trim().split(" +"));
			} catch (Throwable t) {
				System.out.println("command failed: " + t.toString().replaceAll("\\s+", " "));
			}
			System.out.println("DONE");
		}
		System.out.flush();
		Runtime.getRuntime().halt(0);
	}
}
