"""What other threads have done is taken up on the loop: in order, all of it, with few wakes."""

import asyncio
import threading
from concurrent.futures import Future

from adapters.hl7v2.on_loop import OnLoop


def test_what_threads_have_done_is_taken_up_in_order_on_the_loops_own_thread() -> None:
    async def settle() -> tuple[list[int], set[int]]:
        loop = asyncio.get_running_loop()
        here, told, where = OnLoop(loop), [], set[int]()
        over = asyncio.Event()

        def take(done: "Future[int]") -> None:
            told.append(done.result())
            where.add(threading.get_ident())
            if len(told) == 2_000:
                over.set()

        futures: list[Future[int]] = [Future() for _ in range(2_000)]
        for future in futures:
            here.when_done(future, take)

        def work() -> None:
            for number, future in enumerate(futures):
                future.set_result(number)

        thread = threading.Thread(target=work)
        thread.start()
        await asyncio.wait_for(over.wait(), 20)
        thread.join()
        return told, where

    told, where = asyncio.run(settle())
    assert told == list(range(2_000))
    assert where == {threading.main_thread().ident}


def test_one_that_fails_keeps_nobody_else_waiting() -> None:
    async def settle() -> tuple[list[int], list[str]]:
        loop = asyncio.get_running_loop()
        here, told, said = OnLoop(loop), [], []
        loop.set_exception_handler(lambda _, context: said.append(type(context["exception"])))

        def take(done: "Future[int]") -> None:
            told.append(1 // done.result())

        for number in (1, 0, 1):
            future: Future[int] = Future()
            here.when_done(future, take)
            future.set_result(number)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return told, [kind.__name__ for kind in said]

    assert asyncio.run(settle()) == ([1, 1], ["ZeroDivisionError"])


def test_what_is_asked_for_afterwards_is_done_once_when_all_is_taken_up() -> None:
    async def settle() -> list[str]:
        here, told = OnLoop(asyncio.get_running_loop()), list[str]()

        def write() -> None:
            told.append("written")

        def take(done: "Future[int]") -> None:
            told.append(str(done.result()))
            here.afterwards(write)

        futures: list[Future[int]] = [Future() for _ in range(3)]
        for future in futures:
            here.when_done(future, take)
        for number, future in enumerate(futures):
            future.set_result(number)
        await asyncio.sleep(0)
        return told

    assert asyncio.run(settle()) == ["0", "1", "2", "written"]


def test_nothing_is_asked_of_a_loop_that_has_closed() -> None:
    loop = asyncio.new_event_loop()
    here, told = OnLoop(loop), []
    future: Future[int] = Future()
    here.when_done(future, told.append)
    loop.close()
    future.set_result(1)
    assert told == []
