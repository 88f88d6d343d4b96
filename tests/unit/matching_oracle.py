"""Matching written as loops over single candidates and segments: what the vectorised code must equal."""

from nmfp.search.matching import SCORE_STEPS


def oracle(queries, query_rows, neighbours, database, bounds, lengths, every, silent=None):
    """{(query, start, length): [(track, place, score), ...] best first}, one candidate at a time."""
    answers = {}
    for query in range(len(query_rows) - 1):
        segments = query_rows[query + 1] - query_rows[query]
        fitting = [n for n in lengths if n <= segments]
        if not fitting:
            continue
        for start in range(0, segments - max(fitting) + 1, every):
            for length in fitting:
                first = query_rows[query] + start
                answers[query, start, length] = best_places(
                    queries, first, length, neighbours, database, bounds, silent
                )
    return answers


def best_places(queries, first, length, neighbours, database, bounds, silent):
    best = {}
    for i in range(length):
        if silent is not None and silent[0][first + i]:
            continue
        for row in neighbours[first + i]:
            tracks = [t for t in range(len(bounds.start)) if bounds.start[t] <= row < bounds.end[t]]
            if row < 0 or not tracks or (silent is not None and silent[1][row]):
                continue
            (track,) = tracks
            place = row - i
            products = []
            for j in range(length):
                inside = bounds.start[track] <= place + j < bounds.end[track]
                if silent is None and not inside:
                    products = None
                    break
                if silent is not None and (not inside or silent[0][first + j] or silent[1][place + j]):
                    continue
                product = sum(
                    float(a) * float(b) for a, b in zip(queries[first + j], database[place + j], strict=True)
                )
                products.append(product)
            if silent is not None and 2 * len(products) < (~silent[0][first : first + length]).sum():
                continue
            if not products:
                continue
            key = (-round(sum(products) / len(products) * SCORE_STEPS), place)
            best[track] = min(best.get(track, key), key)
    return sorted((key + (track,) for track, key in best.items()), key=lambda a: (a[0], a[2], a[1]))
