// SPDX-License-Identifier: Apache-2.0
package demo;

/** A checked exception with a field of its own. */
public class GreetException extends Exception {
	private final int code;

	public GreetException(String message, int code) {
		super(message);
		this.code = code;
	}

	public int getCode() {
		return code;
	}
}
