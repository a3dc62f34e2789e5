// SPDX-License-Identifier: Apache-2.0
package demo;

import java.io.Serializable;
import java.math.BigDecimal;
import java.util.Arrays;
import java.util.Date;
import java.util.List;
import java.util.Map;

/** A bean with a field of every common type. Fields are public for brevity: serializers use fields anyway. */
public class Order implements Serializable {
	private static final long serialVersionUID = 1L;

	public enum Status { NEW, PAID, SHIPPED }

	public long id;
	public String title;
	public double price;
	public boolean gift;
	public Integer quantity;
	public Date created;
	public Status status;
	public List<String> tags;
	public Map<String, Object> extra;
	public BigDecimal total;
	public Order parent;
	public byte[] blob;

	private String parentText() {
		return parent == null ? "none" : parent == this ? "itself" : String.valueOf(parent.id);
	}

	@Override
	public String toString() {
		return "Order(" + id + "," + title + "," + price + "," + gift + "," + quantity + ","
			+ (created == null ? null : created.getTime()) + "," + status + "," + tags + "," + extra + ","
			+ total + "," + parentText() + "," + Arrays.toString(blob) + ")";
	}
}
