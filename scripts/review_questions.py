"""Review the questions of a run on a page of this machine: first part, question, second part; accept, reject, edit.

Decisions are kept in reviews/<run>/<reviewer>.jsonl; questions.reviews of the configuration names such files.
"""

import argparse
from pathlib import Path

from nep.cli import run_entry_point
from nep.layout.runs import check_name, results_of
from nep.review.parts import Parts
from nep.review.server import Review, review_server
from nep.review.session import Session, read_questions
from nep.web.handler import address_of


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", required=True, help="name of the run")
    parser.add_argument("--reviewer", required=True, help="name of the one who reviews")
    parser.add_argument("--reviews", type=Path, default=Path("reviews"), help="folder of the decisions of all runs")
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1; without it, a free one")
    options = parser.parse_args()
    root, folder = results_of(options.run), options.reviews / options.run
    file = folder / f"{check_name(options.reviewer)}.jsonl"
    session = Session(
        read_questions(root / "questions" / "to_review.jsonl"),
        options.reviewer,
        file,
        others=sorted(set(folder.glob("*.jsonl")) - {file}),
    )
    review = Review(session, Parts(root / "download" / "videos", root / "work" / "review"), options.run)
    with review_server(review, options.port) as server:
        print(f"review: {address_of(server, review.token)}\ndecisions: {file}\nCtrl-C ends it.", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            progress = session.progress()
            print(f"\n{progress.decided} of {progress.questions} questions decided: {file}")


if __name__ == "__main__":
    run_entry_point(main, is_job=False)
