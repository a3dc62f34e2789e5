// SPDX-License-Identifier: Apache-2.0
package demo;

import org.apache.dubbo.config.ApplicationConfig;
import org.apache.dubbo.config.ProtocolConfig;
import org.apache.dubbo.config.RegistryConfig;
import org.apache.dubbo.config.ServiceConfig;
import org.apache.dubbo.config.bootstrap.DubboBootstrap;

/**
 * Exports GreetingService until SIGTERM; prints READY when it serves.
 *
 * System properties: name, host, port, ser (serialization), tag, registry (default N/A), and
 * export = GROUP:VERSION,... (both may be empty; default one service with neither).
 */
public final class Provider {
	private static String text(String key, String or) {
		return System.getProperty(key, or);
	}

	private static ServiceConfig<GreetingService> service(String groupAndVersion) {
		ServiceConfig<GreetingService> s = new ServiceConfig<>();
		String[] part = groupAndVersion.split(":", 2);
		String suffix = ":".equals(groupAndVersion) ? "" : " " + groupAndVersion;

		s.setId("greeting-" + part[0] + "-" + part[1]); /* 2.7 takes services without ids for one */
		s.setInterface(GreetingService.class);
		s.setRef(new Impl(text("name", "provider") + suffix));
		if (!part[0].isEmpty())
			s.setGroup(part[0]);
		if (!part[1].isEmpty())
			s.setVersion(part[1]);
		if (text("tag", null) != null)
			s.setTag(text("tag", null));
		return s;
	}

	public static void main(String[] args) throws Exception {
		ApplicationConfig app = new ApplicationConfig("demo-provider");
		ProtocolConfig protocol = new ProtocolConfig("dubbo");
		DubboBootstrap boot = DubboBootstrap.getInstance();

		app.setQosEnable(false);
		protocol.setPort(Integer.getInteger("port", 20880));
		if (text("host", null) != null)
			protocol.setHost(text("host", null));
		if (text("ser", null) != null)
			protocol.setSerialization(text("ser", null));
		boot.application(app).registry(new RegistryConfig(text("registry", "N/A"))).protocol(protocol);
		for (String s : text("export", ":").split(","))
			boot.service(service(s));
		boot.start();
		System.out.println("READY");
		Thread.sleep(Long.MAX_VALUE);
	}
}
