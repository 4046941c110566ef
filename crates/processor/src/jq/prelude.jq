# To one destination only, instead of to all: `to("large")`, or several: `to("large", "all")`.
def to($flow): {"\u0000to": $flow, "\u0000event": .};

# The events of $window that were read from a flow, by its name or the first label of it.
def from($flow): $window[] | select(.sourceflow == $flow or (.sourceflow | startswith($flow + ".")));
